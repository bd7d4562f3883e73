// Where a tab left off, kept over a reload.

import type { Options, Position } from './client.d.ts'

const EVERY_MS = 1_000 // storage is slow; a repeat after a crash is dropped as a duplicate anyway

export class Memory {
  readonly start: Position | undefined
  readonly #key: string | undefined
  #kept = 0

  constructor(url: string, resume: Options['resume'] = 'none') {
    this.#key = resume === 'session' ? `streamer ${url}` : undefined
    this.start = resume === 'none' ? undefined : resume === 'session' ? this.#read() : resume
  }

  keep(position: Position): void {
    const now = Date.now()
    if (this.#key === undefined || now - this.#kept < EVERY_MS) return
    this.#kept = now
    try {
      globalThis.sessionStorage?.setItem(this.#key, position)
    } catch {
      // Storage is full or forbidden: then a reload starts afresh.
    }
  }

  #read(): Position | undefined {
    try {
      return globalThis.sessionStorage?.getItem(this.#key as string) ?? undefined
    } catch {
      return undefined
    }
  }
}
