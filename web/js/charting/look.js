// How charts look where their options say nothing about it, and what becomes of the words in them.

import { ink, PALETTE, scheme, shown } from "fedlayers/colours.js";

const HEIGHT = 300;

/** How high a chart is in pixels, with a legend of one line. @param {{height?: number}} spec */
export const heightOf = (spec) => spec.height ?? HEIGHT;

/** How ECharts draws what an option says nothing about. @returns {object} */
export function theme(how = scheme()) {
  const { text, soft, rule, panel } = ink(how);
  const axis = {
    axisLine: { lineStyle: { color: soft } }, axisTick: { lineStyle: { color: soft } },
    axisLabel: { color: text, fontSize: 11 }, nameTextStyle: { color: soft, fontSize: 12 },
    splitLine: { lineStyle: { color: rule } }, splitArea: { show: false },
  };
  return {
    color: PALETTE.map((colour) => shown(colour, how)), backgroundColor: "transparent",
    textStyle: { color: text, fontFamily: 'system-ui, sans-serif' },
    categoryAxis: { ...axis, splitLine: { show: false } }, valueAxis: axis, logAxis: axis,
    legend: { textStyle: { color: text }, pageTextStyle: { color: soft }, pageIconColor: text, pageIconInactiveColor: rule },
    visualMap: { textStyle: { color: text } },
    tooltip: { backgroundColor: panel, borderColor: rule, textStyle: { color: text, fontSize: 12 } },
    toolbox: { iconStyle: { borderColor: soft }, emphasis: { iconStyle: { borderColor: text, textFill: text } } },
  };
}

/** The whole option of a chart: without animation, and with texts from runs as nothing but text. @returns {object} */
export function optionOf(spec, how = scheme()) {
  const option = typeof spec.option === "function" ? spec.option(how) : spec.option;
  const series = option.series ?? [];
  return {
    animation: false,
    ...option,
    tooltip: { trigger: "item", confine: true, ...option.tooltip, formatter: asText(option.tooltip?.formatter) },
    series: series.map((one) => one.tooltip?.formatter
      ? { ...one, tooltip: { ...one.tooltip, formatter: asText(one.tooltip.formatter) } } : one),
  };
}

/** A formatter of tooltips whose words, a text or a list of lines, become an element that holds them as text. */
function asText(formatter) {
  if (typeof formatter !== "function") return undefined; // ECharts' own escapes what it shows
  return (what) => {
    const lines = formatter(what), box = Object.assign(document.createElement("div"), { className: "chart-tip" });
    box.textContent = [lines].flat().filter(Boolean).join("\n");
    return box.textContent ? box : "";
  };
}
