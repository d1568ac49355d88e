// Runs before anything else of the page is there: asks for the modules of the view that the address names, and what that
// view asks first, so that nothing of it waits for the libraries of charts. Whoever asks the same takes what came.
{
  const { views, view, always, first } = JSON.parse(document.getElementById("first").textContent);
  const named = new URLSearchParams(location.hash.slice(1)), shown = named.get("view") ?? view;
  for (const href of views[shown] ?? views[view]) {
    document.head.append(Object.assign(document.createElement("link"), { rel: "modulepreload", href }));
  }
  const addresses = shown === view && !named.has("run") ? [...always, ...first] : always;
  globalThis.shownFirst = shown;
  globalThis.askedEarly = new Map(addresses.map((address) => [address, fetch(address, { headers: { "X-Refusals": "told" } })]));
  // Who asks is told of a failure; if nobody does, it does not matter.
  for (const answer of globalThis.askedEarly.values()) answer.catch(() => {});
}
