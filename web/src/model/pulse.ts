// How much comes per second, and how far behind the world we are.

const WINDOW_S = 10
const SAMPLES = 200
const WRONG_CLOCK_MS = 2_000 // an HTTP date is exact to the second; less is not worth correcting

export class Pulse {
  /** What to add to this device's clock to get the relay's, ms. */
  skew = 0
  readonly #arrivals: number[] = [] // one count a second, the newest last
  #second = 0
  #ages: { readonly at: number; readonly age: number }[] = []

  /** An answer of the relay said what time it is there. */
  clock(date: string | null, now: number): void {
    const difference = Date.parse(date ?? '') - now
    this.skew = Math.abs(difference) > WRONG_CLOCK_MS ? difference : 0
  }

  /** @param received when its first byte came in from upstream, ms since the epoch; NaN where nobody says. */
  beat(now: number, received: number): void {
    this.#turn(now)
    this.#arrivals[this.#arrivals.length - 1] = (this.#arrivals.at(-1) ?? 0) + 1
    if (Number.isNaN(received)) return
    this.#ages.push({ at: now, age: Math.max(0, now + this.skew - received) })
    if (this.#ages.length > SAMPLES) this.#ages.shift()
  }

  /** Events per second, over the whole seconds that have passed. */
  rate(now: number): number {
    this.#turn(now)
    const whole = this.#arrivals.slice(0, -1)
    return whole.length === 0 ? 0 : whole.reduce((sum, n) => sum + n, 0) / whole.length
  }

  /** The median age of what came in the last ten seconds, ms; nothing if nothing came. */
  behind(now: number): number | undefined {
    this.#ages = this.#ages.filter(({ at }) => now - at < WINDOW_S * 1000)
    if (this.#ages.length === 0) return undefined
    return this.#ages.map(({ age }) => age).sort((a, b) => a - b)[this.#ages.length >> 1]
  }

  /** A new connection: what came before says nothing about it. */
  forget(): void {
    this.#ages = []
  }

  #turn(now: number): void {
    const second = Math.floor(now / 1000)
    if (this.#arrivals.length === 0) this.#second = second - 1
    if (second - this.#second > WINDOW_S) this.#arrivals.length = 0
    for (let s = Math.max(this.#second, second - WINDOW_S - 1); s < second; s++) this.#arrivals.push(0)
    this.#arrivals.splice(0, this.#arrivals.length - WINDOW_S - 1)
    this.#second = second
  }
}
