/*! Apache ECharts 6.1.0, those of its parts that echarts.parts.js names. Licensed to the Apache Software Foundation (ASF)
under one or more contributor license agreements; licensed under the Apache License, Version 2.0, distributed on an "AS IS"
BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND: LICENSE.echarts.txt, NOTICE.echarts.txt. With ZRender (BSD-3-Clause,
LICENSE.zrender.txt) and parts of d3 (BSD-3-Clause, LICENSE.d3.txt). */
// What echarts.min.js is built of, see README.md: a chart of another kind or another component is one more name here.
import { BarChart, CustomChart, HeatmapChart, LineChart, SankeyChart, ScatterChart } from "echarts/charts";
import {
  BrushComponent, DataZoomInsideComponent, GridComponent, LegendComponent, MarkLineComponent, ToolboxComponent,
  TooltipComponent, VisualMapContinuousComponent,
} from "echarts/components";
import { use } from "echarts/core";
import { CanvasRenderer, SVGRenderer } from "echarts/renderers";

export { getInstanceByDom, graphic, init } from "echarts/core";

use([
  BarChart, CustomChart, HeatmapChart, LineChart, SankeyChart, ScatterChart,
  BrushComponent, DataZoomInsideComponent, GridComponent, LegendComponent, MarkLineComponent, ToolboxComponent,
  TooltipComponent, VisualMapContinuousComponent,
  CanvasRenderer, SVGRenderer,
]);
