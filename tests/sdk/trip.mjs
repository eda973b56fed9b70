// What every trip shares: where Sealgate is, three keys, and how a stream's pace is judged.

import assert from "node:assert/strict";

export const base = process.env.SEALGATE_URL;
// A client key; one that nobody issued; one whose secret the provider refuses.
export const key = process.env.SEALGATE_KEY;
export const stranger = `mdw_${"0".repeat(46)}`;
export const refused = process.env.SEALGATE_REFUSED_KEY;

// When each event of a stream came. The provider sends one every 150 ms.
export class Pace {
  times = [];

  note() {
    this.times.push(performance.now());
  }

  check() {
    const gaps = this.times.slice(1).map((time, index) => time - this.times[index]);
    const spread = this.times.at(-1) - this.times[0];
    const said = `events came in a heap: ${gaps}`;
    // One may be late and the next one early; none may have waited for all.
    assert.ok(spread >= 100 * gaps.length, said);
    assert.ok(gaps.filter((gap) => gap > 50).length >= gaps.length - 1, said);
  }
}

export function told(client, what) {
  console.log(`${client}: ${what}, wrong key, refused key: as ever`);
}
