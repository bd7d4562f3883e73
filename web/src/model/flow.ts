// How fast the feed may move: the frequency control that WCAG 2.2.2 asks for besides a pause.

export type FlowName = 'all' | 'calm' | 'slow'

export const FLUSHES_PER_S = 4

export const FLOWS: readonly FlowName[] = ['all', 'calm', 'slow']

interface Pace {
  /** Rows each flush adds to what may be shown. */
  readonly step: number
  /** What a quiet while may save up, so that a small burst after it is shown whole. */
  readonly most: number
}

const PACES: Readonly<Record<FlowName, Pace>> = {
  all: { step: 20, most: 20 }, // nobody reads more, and painting more costs the browser dearly
  calm: { step: 2 / FLUSHES_PER_S, most: 10 },
  slow: { step: 1 / 3 / FLUSHES_PER_S, most: 3 },
}

export class Flow {
  name: FlowName = 'calm'
  #credit = 0

  /** How many rows may be shown at this flush, of `wanted`. */
  allow(wanted: number): number {
    const { step, most } = PACES[this.name]
    this.#credit = Math.min(this.#credit + step, most)
    const granted = Math.min(wanted, Math.floor(this.#credit))
    this.#credit -= granted
    return granted
  }
}
