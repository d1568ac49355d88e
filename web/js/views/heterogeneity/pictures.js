/** Numbers as pictures: records that are images, maps over their pixels, and how dense points lie. */

/** Pictures are this large at least, in pixels, so that a browser does not blur the borders of theirs. */
const LARGE = 280;

/**
 * Returns a picture of width × height pixels, each so many dots wide.
 * @param {number} width @param {number} height
 * @param {(at: number) => [number, number, number, number?]} colour red, green, blue and how much it covers, 0 to 255, of
 *   the pixel that is the k-th, row after row from the top
 */
export function picture(width, height, colour) {
  const dots = Math.max(1, Math.ceil(LARGE / Math.max(width, height)));
  const [small, canvas] = [canvasOf(width, height), canvasOf(width * dots, height * dots)];
  const [smallPen, pen] = [small.getContext("2d"), canvas.getContext("2d")];
  const data = smallPen.createImageData(width, height);
  for (let at = 0; at < width * height; at += 1) {
    const [red, green, blue, cover = 255] = colour(at);
    [data.data[4 * at], data.data[4 * at + 1], data.data[4 * at + 2], data.data[4 * at + 3]] = [red, green, blue, cover];
  }
  smallPen.putImageData(data, 0, 0);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(small, 0, 0, canvas.width, canvas.height);
  return canvas;
}

function canvasOf(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

/**
 * Returns an image as it looks: grey, or coloured if it has three channels.
 * @param {ArrayLike<number>} values channel after channel @param {[number, number, number]} shape channels, height, width
 * @param {?number} channel the only one shown; null: all three
 */
export function image(values, [channels, height, width], channel = null) {
  const size = height * width;
  const light = lightness(values);
  const planes = channels === 3 && channel === null ? [0, 1, 2] : new Array(3).fill(Math.min(channel ?? 0, channels - 1));
  return picture(width, height, (at) => /** @type {any} */ (planes.map((plane) => light(values[plane * size + at]))));
}

/** Returns what makes 0 … 255 of a value: bytes as they are, shares times 255, others from the lowest to the highest. */
function lightness(values) {
  let [low, high] = [Infinity, -Infinity];
  for (let at = 0; at < values.length; at += 1) {
    low = Math.min(low, values[at]);
    high = Math.max(high, values[at]);
  }
  if (low >= 0 && high > 1 && high <= 255) return (value) => value;
  if (low >= 0 && high <= 1) return (value) => 255 * value;
  return (value) => (high > low ? (255 * (value - low)) / (high - low) : 0);
}

/**
 * Returns a map in the colours of a scale.
 * @param {ArrayLike<number>} values row after row from the top @param {number} height @param {number} width
 * @param {[number, number]} limits the values at the ends of the colours @param {string[]} stops
 */
export function map(values, height, width, [low, high], stops) {
  const table = rgb(stops);
  const at = (value) => (high > low ? Math.round((255 * (value - low)) / (high - low)) : 127);
  return picture(width, height, (place) => table[Math.min(Math.max(at(values[place]), 0), 255)]);
}

/** Returns 256 colours of a scale. @param {string[]} stops #rrggbb @returns {[number, number, number][]} */
export function rgb(stops) {
  const parts = stops.map((stop) => [1, 3, 5].map((at) => parseInt(stop.slice(at, at + 2), 16)));
  return Array.from({ length: 256 }, (_, step) => {
    const place = (step / 255) * (stops.length - 1);
    const below = Math.min(Math.floor(place), stops.length - 2);
    return /** @type {any} */ (parts[below].map((from, k) => Math.round(from + (place - below) * (parts[below + 1][k] - from))));
  });
}
