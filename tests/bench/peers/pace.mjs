// What the peers on Node have in common: the events, at the rate that is asked for on stdin.
//
// `rate R` asks for R events a second from now on, and is answered by `sent N`, the number made until now.
// pace.py does the same for those on Python.

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const [before, inData, inTime, inTail] = cut(readFileSync(new URL('event.json', import.meta.url), 'utf8').trimEnd());
const TOPICS = 50; // the event's topic names one of so many authors
const FIRST = 1_000_000_000; // every number has as many digits
const MADE_UP_FOR = 0.05; // seconds of events that a server which is late still makes; the rest are never made

function cut(template) {
  const [head, ...rest] = template.split('@N@');
  const [afterId, ...more] = rest[0].split('@K@');
  const [time, tail] = rest[1].split('@T@');
  return [head, [afterId, more[0]], time, tail];
}

function event(number) {
  const author = number % TOPICS;
  return `${before}${number}${inData[0]}${author}${inData[1]}${number}${inTime}${process.hrtime.bigint()}${inTail}`;
}

/**
 * Call `publish(text, variant)` for each event that is due, looking every `tick` milliseconds.
 *
 * @param variants subscriptions there are; the variant of event n is n modulo that
 */
export function generate(variants, tick, publish) {
  let rate = 0;
  let began = 0;
  let planned = 0;
  let made = 0;
  createInterface({ input: process.stdin })
    .on('line', (line) => {
      rate = Number(line.split(' ')[1]);
      began = performance.now();
      planned = 0;
      process.stdout.write(`sent ${made}\n`);
    })
    .on('close', () => process.exit(0));
  setInterval(() => {
    const due = Math.floor(((performance.now() - began) / 1000) * rate);
    planned = Math.max(planned, due - Math.max(1, Math.floor(rate * MADE_UP_FOR)));
    for (; planned < due; planned++) {
      const number = FIRST + made++;
      publish(event(number), number % variants);
    }
  }, tick);
}

/** Port, milliseconds between looks, whether to compress, and how many different subscriptions there are. */
export function options() {
  const [port, tick, deflate, variants] = process.argv.slice(2).map(Number);
  return { port, tick, deflate: deflate === 1, variants };
}
