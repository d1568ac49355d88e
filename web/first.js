// Runs before anything else of the page is there: asks for the modules of the view that the address names, for what that
// view asks first, and for the library of charts, so that none waits for another. Whoever asks the same takes what came.
{
  const { views, view, always, first, library } = JSON.parse(document.getElementById("first").textContent);
  const named = new URLSearchParams(location.hash.slice(1)), shown = named.get("view") ?? view;
  const { own, others } = views[shown] ?? views[view];
  const added = (tag, attributes) => document.head.append(Object.assign(document.createElement(tag), attributes));
  // The page's modules look at its elements.
  added("link", { rel: "modulepreload", href: own });
  addEventListener("DOMContentLoaded", () => added("script", { type: "module", src: own }));
  globalThis.moduleOf = async (name) => {
    if (!globalThis.fedlayersModules?.[name]) await import(others);
    return globalThis.fedlayersModules[name];
  };
  /** @type {?Promise<Event>} */
  let charts = null;
  const load = (there, failed) => added("script", {
    src: library, fetchPriority: "high", onload: there, onerror: () => failed(new TypeError("the library of charts did not come")),
  });
  // What did not come is asked for anew by whoever draws next.
  globalThis.chartsThere = () => (charts ??= new Promise(load).catch((error) => { charts = null; throw error; }));
  globalThis.chartsThere().catch(() => {});
  const addresses = shown === view && !named.has("run") ? [...always, ...first] : always;
  globalThis.shownFirst = shown;
  globalThis.askedEarly = new Map(addresses.map((address) => [address, fetch(address, { headers: { "X-Refusals": "told" } })]));
  // Who asks is told of a failure; if nobody does, it does not matter.
  for (const answer of globalThis.askedEarly.values()) answer.catch(() => {});
}
