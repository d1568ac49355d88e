/** What a saved report says in words: what the run is, which layers are shared and why, what layers answer. */

/** @type {import("fedlayers/page.js").View} */
export default {
  name: "findings",
  title: "In words",
  ofStudy: true,
  draw(place) {
    const said = document.getElementById("findings");
    if (place.contains(said)) return;
    said.removeAttribute("hidden");
    place.append(said);
  },
};
