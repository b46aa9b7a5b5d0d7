// Values that tell those who have read them when they change.

let reader = null;

/** Whoever reads `value` while it is drawn or run by `track` is told of the next change. */
export function signal(value) {
  const readers = new Set();
  return {
    get value() {
      if (reader) { readers.add(reader); reader.read.add(readers); }
      return value;
    },
    set value(next) {
      if (next === value) return;
      value = next;
      for (const one of [...readers]) one.changed();
    },
  };
}

/** Runs `work` and notes what it reads for `owner`, which has `read`, a set, and `changed`. */
export function track(owner, work) {
  forget(owner);
  const outer = reader;
  reader = owner;
  try { return work(); } finally { reader = outer; }
}

export function forget(owner) {
  for (const readers of owner.read) readers.delete(owner);
  owner.read.clear();
}

/** Runs `work` now, and again after each change of what it has read. */
export function effect(work) {
  const owner = { read: new Set(), changed: () => track(owner, work) };
  owner.changed();
}
