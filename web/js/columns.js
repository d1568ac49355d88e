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
  if (isPlain && !vector.nullCount) return vector.toArray();
  const items = Array.from(vector, (item) => (typeof item === "bigint" ? Number(item) : listed(item)));
  return isPlain ? items.map((item) => item ?? NaN) : items;
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
