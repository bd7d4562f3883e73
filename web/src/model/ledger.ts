// The account the page gives: sent = shown + not shown + held + lost, at every moment.

export class Ledger {
  /** Everything the relay sent us, or told us it did not. */
  sent = 0
  shown = 0
  /** Filtered, sampled away by the flow setting, deleted before it was shown, too old for the buffer, or not fit to be shown. */
  notShown = 0
  /** Skipped by the relay. */
  lost = 0
  held = 0

  get balanced(): boolean {
    return this.sent === this.shown + this.notShown + this.held + this.lost
  }

  arrive(): void {
    this.sent++
    this.held++
  }

  show(count: number): void {
    this.held -= count
    this.shown += count
  }

  drop(count: number): void {
    this.held -= count
    this.notShown += count
  }

  /** They counted as shown, and then could not be drawn. */
  unshow(count: number): void {
    this.shown -= count
    this.notShown += count
  }

  lose(count: number): void {
    this.sent += count
    this.lost += count
  }
}
