// A fixed pool of blips: the newest take the places of the oldest, so the map costs the same at any rate.

import { covers, type Scrub } from './scrubs.ts'
import type { Spot } from './spot.ts'

export const POOL = 60
const LIFE_MS = 16_000
const FLASH_MS = 750
const STEPS = 4

export interface Blip {
  readonly spot: Spot
  readonly born: number
}

/** How a blip looks: `step` 4 (new) … 1 (nearly gone), 0 for nothing. */
export interface Look {
  readonly step: number
  readonly flash: boolean
}

export class Blips {
  readonly #slots: (Blip | undefined)[] = Array.from({ length: POOL }, () => undefined)
  #next = 0

  get slots(): readonly (Blip | undefined)[] {
    return this.#slots
  }

  add(spot: Spot, now: number): void {
    this.#slots[this.#next] = { spot, born: now }
    this.#next = (this.#next + 1) % POOL
  }

  remove(key: string): void {
    this.#clear((spot) => spot.key === key)
  }

  scrub(scrub: Scrub): void {
    this.#clear(({ whose }) => covers(scrub, whose))
  }

  #clear(chosen: (spot: Spot) => boolean): void {
    for (const [i, blip] of this.#slots.entries()) if (blip && chosen(blip.spot)) this.#slots[i] = undefined
  }

  /** The look of a slot at a time; `still` for readers who want no fading. */
  look(slot: number, now: number, still = false): Look {
    const blip = this.#slots[slot]
    const age = blip ? now - blip.born : LIFE_MS
    if (age >= LIFE_MS) return { step: 0, flash: false }
    if (still) return { step: STEPS, flash: false }
    return { step: STEPS - Math.floor((age / LIFE_MS) * STEPS), flash: age < FLASH_MS }
  }
}
