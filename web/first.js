// Runs before anything else of the page is there: asks for the modules of the view that the address names, for what that
// view asks first, and for the library of charts, so that none waits for another. Whoever asks the same takes what came.
{
  const { views, view, always, first, library, tables } = JSON.parse(document.getElementById("first").textContent);
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
  const once = (src, fetchPriority) => {
    /** @type {?Promise<Event>} */
    let coming = null;
    const load = (there, failed) => added("script", { src, fetchPriority, onload: there, onerror: () => failed(new TypeError(`${src} did not come`)) });
    // What did not come is asked for anew by whoever needs it next.
    return () => (coming ??= new Promise(load).catch((error) => { coming = null; throw error; }));
  };
  [globalThis.chartsThere, globalThis.tablesThere] = [once(library, "high"), once(tables, "auto")];
  globalThis.chartsThere().catch(() => {});
  // Tables come as Arrow but for those that the page holds from the beginning, which are all that its first view shows.
  if (named.size || always.length || first.length) globalThis.tablesThere().catch(() => {});
  const addresses = shown === view && !named.has("run") ? [...always, ...first] : always;
  globalThis.shownFirst = shown;
  globalThis.askedEarly = new Map(addresses.map((address) => [address, fetch(address, { headers: { "X-Refusals": "told" } })]));
  // Who asks is told of a failure; if nobody does, it does not matter.
  for (const answer of globalThis.askedEarly.values()) answer.catch(() => {});
}
