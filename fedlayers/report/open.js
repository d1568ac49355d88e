// Unpacks what a saved report holds, then starts the page that is in it.
(async () => {
  const unpacked = async (id) => {
    const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  const script = (text, type) => document.head.append(Object.assign(document.createElement("script"), { textContent: text, type }));
  const [library, modules, answers] = await Promise.all(["frozen-library", "frozen-modules", "frozen-packed"].map(unpacked));
  document.getElementById("frozen-answers").textContent = answers;
  script(library, "");
  // A page from disk can load no file beside it: each module is an address that is its text.
  const address = (text) => `data:text/javascript;charset=utf-8,${encodeURIComponent(text)}`;
  const imports = Object.fromEntries(Object.entries(JSON.parse(modules)).map(([name, text]) => [name, address(text)]));
  script(JSON.stringify({ imports }), "importmap");
  await import("fedlayers/page.js");
})();
