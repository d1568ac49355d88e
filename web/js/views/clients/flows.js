/** How clients go from cluster to cluster over the rounds: streams between the clusters of rounds. */
import { cleared, drawn } from "fedlayers/chart.js";
import { ink } from "fedlayers/colours.js";
import { element } from "fedlayers/html.js";
import { called, colourOf } from "fedlayers/views/clients/merging.js";

/** @param {HTMLElement} place @param {any} about */
export async function drawFlows(place, about) {
  const { known, ask, path } = about;
  const note = (words) => {
    cleared(place);
    place.append(element("p", { class: "note" }, words));
  };
  if (!known.facts.clusters.length) return note("No clusters of clients were found: metrics=[clusters] looks for some, with metrics.clusters.rounds=[all] in every round.");
  const asked = ask(path("flows"));
  const rounds = await asked.then(({ facts }) => facts.rounds, () => []);
  if (rounds.length === 1) return note(`Clusters of clients were found in round ${rounds[0]} only: with metrics.clusters.rounds=[all] streams of clients between them are shown here.`);
  return drawn(place, asked, (table) => chartOf(table, about));
}

function chartOf(table, { selection, select }) {
  const { columns, facts, length } = table;
  const depth = new Map(facts.rounds.map((round, at) => [round, at]));
  const id = (round, cluster) => `${round}/${cluster}`;
  const has = (text) => selection.client !== undefined && text.split(", ").includes(String(selection.client));
  return {
    title: `Clusters of clients over the rounds${facts.by ? `, by ${facts.by}` : ""}`,
    label: `${facts.clusters.length} clusters in ${facts.rounds.length} rounds`, table, height: 340,
    notes: [
      "streams: clients that go from a cluster to another, or stay",
      facts.left_out ? `${facts.left_out} more rounds are in the tables` : "", selection.client === undefined ? "" : "strong: the selected client's way",
    ],
    option: (how) => ({
      tooltip: { formatter: ({ data }) => data.words },
      legend: { show: false },
      series: [{
        type: "sankey", name: "clusters", left: 8, right: 90, top: 26, bottom: 10, nodeWidth: 16, nodeGap: 10, draggable: false, layoutIterations: 24,
        emphasis: { focus: "none" }, nodeAlign: "left",
        data: facts.clusters.map(({ round, cluster, clients }) => ({
          name: id(round, cluster), depth: depth.get(round), value: clients.length, round, clients,
          itemStyle: { color: colourOf(cluster, how), borderColor: clients.includes(selection.client) ? ink(how).text : "transparent", borderWidth: 2 },
          label: { color: ink(how).text, fontSize: 11, lineHeight: 13, formatter: facts.rounds.length > 8 ? `${clients.length}` : `round ${round}\n${called(cluster)}: ${clients.length}` },
          words: [`round ${round}, cluster ${cluster}`, `${clients.length} clients: ${named(clients, facts.names)}`],
        })),
        links: Array.from({ length }, (_, row) => ({
          source: id(columns.from_round[row], columns.from_cluster[row]), target: id(columns.round[row], columns.cluster[row]), value: columns.clients[row], row,
          lineStyle: { color: colourOf(columns.from_cluster[row], how), opacity: has(columns.members[row]) ? 0.75 : 0.28 },
          words: [`cluster ${columns.from_cluster[row]} in round ${columns.from_round[row]} to cluster ${columns.cluster[row]} in round ${columns.round[row]}`, `${columns.clients[row]} clients: ${named(columns.members[row].split(", "), facts.names)}`],
        })),
      }],
    }),
    onSelect: ({ name }) => {
      const found = facts.clusters.find(({ round, cluster }) => id(round, cluster) === name);
      if (found) select({ round: found.round });
    },
  };
}

const MOST = 12;

function named(clients, names) {
  const shown = clients.slice(0, MOST).map((client) => names[client]);
  return shown.join(", ") + (clients.length > MOST ? ` and ${clients.length - MOST} more` : "");
}
