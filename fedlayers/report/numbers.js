// Numbers: unpacked from the page's data, written, and chosen for the ticks of a scale.

const unpackedColumns = new Map();

// A column as fedlayers/report/columns.py packs it -> a function from the number of a cell to its number, NaN for none.
function column(packed) {
  if (packed === null) return () => NaN;
  if (typeof packed === "number") return () => packed;
  if (!unpackedColumns.has(packed)) {
    const bytes = Uint8Array.from(atob(packed.slice(3)), (letter) => letter.charCodeAt(0));
    unpackedColumns.set(packed, packed.startsWith("f4:") ? new Float32Array(bytes.buffer) : new Float64Array(bytes.buffer));
  }
  const numbers = unpackedColumns.get(packed);
  return (cell) => numbers[cell];
}

function written(number, digits = 6) {
  return String(Number(number.toPrecision(digits))).replace("e+", "e").replaceAll("-", "−");
}

// The ends of finite numbers; logarithmic if all are positive and more than two decades apart.
function scaleOf(numbers, logarithmic = null) {
  let low = Infinity, high = -Infinity;
  for (const number of numbers) {
    if (!Number.isFinite(number)) continue;
    if (number < low) low = number;
    if (number > high) high = number;
  }
  return { low, high, logarithmic: logarithmic ?? (low > 0 && high > 100 * low) };
}

// Where a number lies on a scale: 0 at its low end, 1 at its high end.
function share(scale, number) {
  if (scale.high === scale.low) return 0.5;
  if (scale.logarithmic) return Math.log(number / scale.low) / Math.log(scale.high / scale.low);
  return (number - scale.low) / (scale.high - scale.low);
}

function ticksOf(scale, most) {
  const { low, high } = scale;
  if (!(high > low)) return [low];
  const ticks = [];
  if (scale.logarithmic) {
    const first = Math.ceil(Math.log10(low) - 1e-9), last = Math.floor(Math.log10(high) + 1e-9);
    const step = Math.max(1, Math.ceil((last - first + 1) / most));
    for (let power = first; power <= last; power += step) ticks.push(Number(`1e${power}`));
    return ticks;
  }
  const raw = (high - low) / most, size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((times) => times * size).find((one) => one >= raw * (1 - 1e-9));
  const slack = 1e-6 * step;
  for (let place = Math.ceil((low - slack) / step); place * step <= high + slack; place += 1) ticks.push(place * step);
  return ticks;
}

// The ticks as texts with as many digits as tell them apart.
function tickTexts(ticks) {
  const apart = ticks.length > 1 ? Math.abs(ticks[1] - ticks[0]) : 0;
  const largest = Math.max(...ticks.map(Math.abs));
  const digits = apart > 0 ? Math.min(12, Math.max(1, Math.ceil(Math.log10(largest / apart) + 1e-9) + 1)) : 6;
  return ticks.map((tick) => (Math.abs(tick) < 1e-9 * largest ? "0" : written(tick, digits)));
}

// So many places apart that labels which need some pixels each do not overlap: 1, 2, 5, 10 …
function stepFor(neededPixels, pixelsAPlace) {
  for (let size = 1; ; size *= 10) {
    for (const times of [1, 2, 5]) if (times * size * pixelsAPlace >= neededPixels) return times * size;
  }
}

function shortened(text, length = 14) {
  return text.length <= length ? text : `…${text.slice(1 - length)}`;
}
