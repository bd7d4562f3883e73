// Locations that authors took back: whose, up to which post, and the last of them for posts that come after all.

import type { CloudEvent } from '../client/client.d.ts'

const MOST = 1000 // authors remembered, for a scrub can overtake a post that it covers
const ID = /^\d{1,30}$/

/** Whose location something holds. */
export interface Whose {
  /** Source and id; empty where nobody says, and then no scrub finds it. */
  readonly author: string
  /** Nothing where the id is no number. */
  readonly post: bigint | undefined
}

export interface Scrub {
  readonly author: string
  /** The last post covered; nothing for all of them. */
  readonly upTo: bigint | undefined
}

export function whoseOf(source: string, author: unknown, post: unknown): Whose {
  return { author: authorOf(source, author), post: numberOf(post) }
}

/** What a scrub takes back, or nothing if it names nobody. */
export function scrubOf(event: CloudEvent, source: string): Scrub | undefined {
  const { author, up_to: upTo } = (event.data ?? {}) as { author?: unknown; up_to?: unknown }
  const whose = authorOf(source, author)
  return whose ? { author: whose, upTo: numberOf(upTo) } : undefined
}

/** Whether that location must go; one that cannot be told to be of a later post goes, too. */
export function covers({ author, upTo }: Scrub, whose: Whose): boolean {
  return author === whose.author && (upTo === undefined || whose.post === undefined || whose.post <= upTo)
}

export class Scrubs {
  readonly #last = new Map<string, Scrub>()

  /** Of an author's scrubs the one that covers most is remembered. */
  add(scrub: Scrub): void {
    const before = this.#last.get(scrub.author)
    this.#last.delete(scrub.author)
    this.#last.set(scrub.author, before && reaches(before, scrub) ? before : scrub)
    if (this.#last.size > MOST) this.#last.delete(this.#last.keys().next().value as string)
  }

  cover(whose: Whose): boolean {
    const scrub = this.#last.get(whose.author)
    return scrub !== undefined && covers(scrub, whose)
  }
}

function reaches(one: Scrub, other: Scrub): boolean {
  return one.upTo === undefined || (other.upTo !== undefined && one.upTo >= other.upTo)
}

function authorOf(source: string, id: unknown): string {
  return typeof id === 'string' && id ? `${source} ${id}` : ''
}

/** Ids are compared as numbers, and are longer than a double holds. */
function numberOf(id: unknown): bigint | undefined {
  return typeof id === 'string' && ID.test(id) ? BigInt(id) : undefined
}
