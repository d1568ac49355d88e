/** Columns of an Arrow stream as arrays. */

/* global Arrow */

/**
 * Returns what an Arrow stream holds.
 * @param {Uint8Array} bytes
 * @returns {import("fedlayers/data.js").Answer}
 */
export function columnsOf(bytes) {
  const table = Arrow.tableFromIPC(bytes);
  const columns = Object.fromEntries(
    table.schema.fields.map((field) => [field.name, arrayOf(table.getChild(field.name))]),
  );
  const said = table.schema.metadata.get("facts");
  return { columns, facts: said ? JSON.parse(said) : {}, length: table.numRows };
}

/** Numbers without absent ones as they are, others one by one: dictionaries are looked up once per value. */
function arrayOf(vector) {
  if (Arrow.DataType.isDictionary(vector.type)) return vector.data.flatMap(looked);
  const isPlain = Arrow.DataType.isFloat(vector.type) || (Arrow.DataType.isInt(vector.type) && vector.type.bitWidth < 64);
  if (isPlain) return vector.nullCount ? withoutAbsent(vector) : vector.toArray();
  return Array.from(vector, (item) => (typeof item === "bigint" ? Number(item) : listed(item)));
}

/** Numbers of which some are absent, NaN in their place. */
function withoutAbsent(vector) {
  const found = new Float64Array(vector.length);
  let begin = 0;
  for (const data of vector.data) {
    const { length, nullCount, nullBitmap, offset } = data;
    if (nullCount === length) found.fill(NaN, begin, begin + length);
    else {
      found.set(data.values.subarray(0, length), begin);
      // A bit a row, the lowest of a byte first; there is none where nothing is absent.
      for (let row = 0; nullCount && row < length; row += 1) {
        const bit = offset + row;
        if (!((nullBitmap[bit >> 3] >> (bit & 7)) & 1)) found[begin + row] = NaN;
      }
    }
    begin += length;
  }
  return Array.from(found);
}

function looked(data) {
  const words = data.dictionary ? Array.from(data.dictionary) : [];
  if (!data.nullCount) return Array.from(data.values.subarray(0, data.length), (code) => words[code]);
  const codes = data.values;
  return Array.from({ length: data.length }, (_, row) => (data.getValid(row) ? words[codes[row]] : null));
}

/** A list of numbers, as rows of `spectra` have, is a vector of its own. */
function listed(item) {
  return item && typeof item === "object" && "toArray" in item ? item.toArray() : item;
}
