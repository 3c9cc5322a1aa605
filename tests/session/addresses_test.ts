import assert from "node:assert/strict";
import fc from "fast-check";
import {
  AddressBook,
  type AddressState,
  parseAddressState,
  rangeOf,
} from "../../src/session/addresses.ts";

const mine = () => true;

Deno.test("AddressBook gives 127.1.31.1 upwards and crosses ranges without .0 and .255", () => {
  const book = new AddressBook(undefined, mine, () => 1);
  const given = Array.from({ length: 600 }, (_, n) => book.take(`c/ns/s${n}`));
  assert.equal(given[0], "127.1.31.1");
  assert.equal(given[253], "127.1.31.254");
  assert.equal(given[254], "127.1.32.1");
  assert.equal(new Set(given).size, 600);
});

Deno.test("AddressBook remembers an address over restarts and sessions", () => {
  const first = new AddressBook(undefined, mine, () => 1);
  first.take("c/ns/a");
  const b = first.take("c/ns/b");
  first.release("c/ns/a");
  const again = new AddressBook(first.takeChanges(), mine, () => 2);
  assert.equal(again.take("c/ns/new"), "127.1.31.3");
  assert.equal(again.take("c/ns/b"), b);
  assert.equal(first.takeChanges(), undefined);
});

Deno.test("AddressBook leaves a range that another user has, for remembered addresses too", () => {
  const state: AddressState = {
    version: 1,
    addresses: { "c/ns/a": { address: "127.1.31.9", used: 1 } },
  };
  const book = new AddressBook(state, (range) => range !== 31 && range !== 32, () => 2);
  assert.equal(book.take("c/ns/a"), "127.1.33.1");
  assert.equal(book.take("c/ns/b"), "127.1.33.2");
});

Deno.test("AddressBook gives the longest unused address again when all are given out, and never one in use", () => {
  const onlyOne = (range: number) => range === 40;
  let now = 0;
  const book = new AddressBook(undefined, onlyOne, () => ++now);
  for (let n = 0; n < 254; n++) book.take(`c/ns/s${n}`);
  assert.throws(() => book.take("c/ns/more"), /127\.1\.0\.0\/16 is full/);
  book.release("c/ns/s7");
  assert.equal(book.take("c/ns/more"), "127.1.40.8");
});

Deno.test("AddressBook never gives one address to two keys", () => {
  fc.assert(fc.property(
    fc.array(fc.record({ key: fc.integer({ min: 0, max: 40 }), release: fc.boolean() }), {
      maxLength: 200,
    }),
    (steps) => {
      const book = new AddressBook(undefined, mine, () => 1);
      const held = new Map<string, string>();
      for (const step of steps) {
        const key = `k${step.key}`;
        if (step.release) {
          if (held.delete(key)) book.release(key);
        } else if (!held.has(key)) {
          const address = book.take(key);
          assert.ok(![...held.values()].includes(address));
          assert.notEqual(rangeOf(address), undefined);
          held.set(key, address);
        }
      }
    },
  ));
});

Deno.test("parseAddressState takes a damaged file for a missing one", () => {
  for (
    const text of [undefined, "", "{", "null", '{"version":2}', '{"version":1,"addresses":{"a":3}}']
  ) {
    assert.equal(parseAddressState(text), undefined);
  }
  const book = new AddressBook(
    {
      version: 1,
      addresses: { a: { address: "10.0.0.1", used: 1 }, b: { address: "127.1.31.0", used: 1 } },
    },
    mine,
    () => 1,
  );
  assert.equal(book.take("a"), "127.1.31.1");
});
