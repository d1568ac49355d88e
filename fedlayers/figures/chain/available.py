"""Which figures of layers as a chain can be drawn of a run or a study."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import pandas as pd
from matplotlib.figure import Figure

from fedlayers.figures.chain.all_metrics_overview import all_metrics_overview
from fedlayers.figures.chain.architecture_comparison import architecture_comparison
from fedlayers.figures.chain.correlation_matrix import correlation_matrix
from fedlayers.figures.chain.heat_map import heat_map
from fedlayers.figures.chain.layer_progression import layer_progression
from fedlayers.figures.chain.metric_distributions import metric_distributions
from fedlayers.figures.chain.multi_run import multi_run
from fedlayers.figures.chain.research_questions import research_questions
from fedlayers.figures.chain.timeline import timeline
from fedlayers.figures.chain.train_val_comparison import train_val_comparison
from fedlayers.figures.drawing.drawable import Drawing
from fedlayers.figures.drawing.small_profiles import pages
from fedlayers.views.chain import heat_map as tables
from fedlayers.views.chain.answered import Answered
from fedlayers.views.chain.groups import ChainStudy, alike_but_model
from fedlayers.views.chain.layer_values import (
    last_layer_values,
    layer_times,
    layer_values,
    measured_metrics,
    timed_metrics,
)
from fedlayers.views.chain.questions import QUESTIONS
from fedlayers.views.chain.readings import question_rows
from fedlayers.views.chain.train_validation import compared_metrics, train_validation
from fedlayers.views.run_groups import Setting


def chain_figures(records: pd.DataFrame, settings: Sequence[Setting]) -> list[Drawing]:
    """Return the figures of runs of some settings that are about layers as a chain.

    Args:
        records: their single values.
        settings: of :func:`fedlayers.views.run_groups.settings_of`.
    """
    chain = _Chain(records, settings)
    several = sum(len(setting.runs) for setting in settings) > 1
    return [*chain.answers(), *chain.of_all(), *(chain.of_study() if several else chain.of_run())]


@dataclass(frozen=True)
class _Chain:
    """What is drawn, each part selected when a figure first needs it: their names alone need none."""

    records: pd.DataFrame
    settings: Sequence[Setting]

    @cached_property
    def study(self) -> ChainStudy:
        return ChainStudy.of(self.records, self.settings)

    @cached_property
    def answered(self) -> Answered:
        return Answered.of(self.study)

    @cached_property
    def values(self) -> pd.DataFrame:
        return layer_values(self.study)

    @cached_property
    def last(self) -> pd.DataFrame:
        return last_layer_values(self.study)

    @cached_property
    def times(self) -> pd.DataFrame:
        return layer_times(self.study)

    @cached_property
    def metrics(self) -> list[str]:
        return measured_metrics(self.records)

    def answers(self) -> list[Drawing]:
        """Return the answers; they are a main figure where all three questions have one."""
        measured = set(question_rows(self.records)["metric"].astype(str))
        if not measured:
            return []
        main = all(question.main in measured for question in QUESTIONS)
        return [Drawing("research_questions", self._questions, words=lambda: self.answered.text, main=main)]

    def of_all(self) -> list[Drawing]:
        """Return the figures of layers that runs and studies have in common."""
        found = []
        for part, page in pages(self.metrics):
            found.append(Drawing("metric_distributions", partial(self._distributions, page), part=part))
            found.append(Drawing("layer_progression", partial(self._progression, page), part=part))
        if len(self.metrics) > 1:
            found.append(Drawing("correlation_matrix", self._correlations))
        return found

    def of_run(self) -> list[Drawing]:
        """Return the figures of one run."""
        found = [
            Drawing("train_val_comparison", partial(self._train_validation, metric), metric)
            for metric in compared_metrics(self.records)
        ]
        timed = timed_metrics(self.records)
        found += [
            Drawing("all_metrics_overview", partial(self._overview, page), part=part) for part, page in pages(timed)
        ]
        found += [Drawing("heatmap", partial(self._rounds, metric), metric) for metric in self.metrics]
        return found + [Drawing("timeline", partial(self._timeline, metric), metric) for metric in timed]

    def of_study(self) -> list[Drawing]:
        """Return the figures of several runs."""
        found = [Drawing("heatmap", partial(self._runs, metric), metric) for metric in self.metrics]
        if alike_but_model(self.study):
            found += [
                Drawing("architecture_comparison", partial(self._architectures, metric), metric)
                for metric in self.metrics
            ]
        timed = timed_metrics(self.records)
        return found + [Drawing("multi_run", partial(self._multi_run, metric), metric) for metric in timed]

    def _questions(self) -> Figure:
        return research_questions(self.answered)

    def _distributions(self, page: Sequence[str]) -> Figure:
        return metric_distributions(self.last, page, self.study.quantities, self.study.facts)

    def _progression(self, page: Sequence[str]) -> Figure:
        return layer_progression(self.values, page, self.study.quantities, self.study.facts)

    def _correlations(self) -> Figure | None:
        return correlation_matrix(self.last, self.study.quantities, self.study.facts)

    def _train_validation(self, metric: str) -> Figure:
        rows = train_validation(self.study, metric)
        return train_val_comparison(rows, self.study.quantities[metric], self.study.facts)

    def _overview(self, page: Sequence[str]) -> Figure:
        return all_metrics_overview(self.times, page, self.study.quantities, self.study.facts)

    def _rounds(self, metric: str) -> Figure:
        rows = _of(self.values, metric)
        what = str(rows["what"].iloc[0])
        return heat_map(tables.by_round(rows), self.study.quantities[metric], self.study.facts, what)

    def _runs(self, metric: str) -> Figure:
        rows = _of(self.last, metric)
        what = (str(rows["what"].iloc[0]), "last values measured")
        return heat_map(tables.by_run(rows), self.study.quantities[metric], self.study.facts, *what)

    def _timeline(self, metric: str) -> Figure:
        return timeline(_of(self.times, metric), self.study.quantities[metric], self.study.facts)

    def _architectures(self, metric: str) -> Figure | None:
        return architecture_comparison(_of(self.last, metric), self.study, self.study.quantities[metric])

    def _multi_run(self, metric: str) -> Figure:
        return multi_run(_of(self.times, metric), self.study, self.study.quantities[metric])


def _of(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    found: pd.DataFrame = rows[rows["metric"] == metric]
    return found
