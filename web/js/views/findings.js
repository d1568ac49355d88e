/** What a saved report says in words: what the run is, which layers are shared and why, what layers answer. */

/** @type {import("fedlayers/page.js").Draw} */
export function draw(place) {
  const said = document.getElementById("findings");
  if (place.contains(said)) return;
  said.removeAttribute("hidden");
  place.append(said);
}
