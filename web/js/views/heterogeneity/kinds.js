/** The kinds of shift that clients are tested for, and what each one means. */

export const KINDS = ["label", "feature", "concept"];
export const MEANING = {
  label: "other proportions of classes", feature: "records of a class look different", concept: "labels mean something else",
};
