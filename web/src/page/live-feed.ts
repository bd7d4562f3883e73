// The feed's pane. It holds itself while somebody reads, and never moves the scroll position unless asked.

import { html, nothing, type PropertyValues, type TemplateResult } from 'lit'
import { repeat } from 'lit/directives/repeat.js'
import { MOST_ROWS } from '../model/feed.ts'
import { narrows, type Filter } from '../model/filter.ts'
import type { Row } from '../model/row.ts'
import { words } from '../model/words.ts'
import { changeView } from './change-view.ts'
import { icons } from './icons.ts'
import { gapView, postView, type Shown } from './row-view.ts'
import { View } from './view.ts'

const TOP_PX = 4
const TICK_MS = 5_000 // relative times
const MOST_OPEN = MOST_ROWS

export class LiveFeed extends View {
  readonly #open = new Set<string>()
  readonly #bad: Row[] = []
  #drawn = ''
  #focused: { readonly key: string; readonly at: number } | undefined
  readonly #onSelect = () => this.#selected()
  readonly #reveal = (key: string): void => {
    if (!this.#open.delete(key)) this.#open.add(key)
    if (this.#open.size > MOST_OPEN) this.#open.delete(this.#open.values().next().value as string)
    this.requestUpdate()
  }

  override connectedCallback(): void {
    super.connectedCallback()
    document.addEventListener('selectionchange', this.#onSelect)
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback()
    document.removeEventListener('selectionchange', this.#onSelect)
  }

  protected override beat(): void {
    if (document.visibilityState === 'hidden') return
    const { feed, hold } = this.session
    const signs = [feed.version, feed.fresh, hold.cause, feed.filter, Math.floor(Date.now() / TICK_MS)]
    const state = JSON.stringify(signs)
    if (state !== this.#drawn) this.requestUpdate()
    this.#drawn = state
  }

  override render(): TemplateResult {
    const { feed, hold } = this.session
    const { rows } = feed
    const now = Date.now() + this.session.pulse.skew
    const held = hold.holds(Date.now())
    return html`
      <div class="feed-head">
        <h2 id="feed-title" tabindex="-1">${words.feed}</h2>
        ${this.#chip(feed.filter)}
        ${held && feed.fresh > 0 ? this.#pill(feed.fresh) : nothing}
      </div>
      <div id="feed" role="feed" tabindex="0" aria-labelledby="feed-title" aria-busy=${rows.length === 0}
        @scroll=${this.#scrolled} @focusin=${this.#focusIn} @focusout=${this.#focusOut}>
        ${repeat(rows, (row) => row.key, (row, i) => {
          return this.#row(row, { at: i + 1, now, open: this.#open.has(row.key), reveal: this.#reveal })
        })}
      </div>
      ${rows.length === 0 ? html`<p class="empty">${narrows(feed.filter) ? words.noneMatch : words.waiting}</p>` : nothing}
    `
  }

  protected override updated(_: PropertyValues): void {
    for (const row of this.#bad.splice(0)) this.session.feed.discard(row)
    const lost = this.#focused
    if (!lost || this.querySelector(`[data-key="${CSS.escape(lost.key)}"]`)) return
    // The post being read was deleted: reading goes on with the one in its place.
    this.#focused = undefined
    const rows = this.#articles()
    ;(rows[Math.min(lost.at, rows.length - 1)] ?? this.#scroller())?.focus()
  }

  /** Moves the reading mark by one post and brings it to the top of the pane. */
  step(by: 1 | -1): void {
    const rows = this.#articles()
    const at = rows.findIndex((row) => row.contains(document.activeElement))
    const row = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))]
    row?.focus({ preventScroll: true })
    row?.scrollIntoView({ block: 'start' })
  }

  /** The reader asked for what is new: show it, from the top. */
  toTop(): void {
    const pane = this.#scroller()
    if (pane) pane.scrollTop = 0
    if (pane?.contains(document.activeElement)) (document.activeElement as HTMLElement).blur()
    this.session.showAll()
  }

  /** One row that cannot be drawn must not cost the others; it goes, and is counted as not shown. */
  #row(row: Row, shown: Shown): TemplateResult | typeof nothing {
    try {
      if (row.kind === 'post') return postView(row, shown)
      return row.kind === 'change' ? changeView(row, shown) : gapView(row, shown)
    } catch {
      this.#bad.push(row)
      return nothing
    }
  }

  /** What was chosen in the tool bar, which hides its menus on a phone; here it is seen and undone anywhere. */
  #chip({ source, lang, kind }: Filter): TemplateResult | typeof nothing {
    if (!source && !lang && !kind) return nothing
    return html`<button class="chip" type="button" @click=${this.#widen}>
      <bdi>${[kind && words.kinds[kind], lang, source].filter(Boolean).join(' · ')}</bdi><span aria-hidden="true">×</span><span class="sr">, ${words.unfilter}</span>
    </button>`
  }

  #widen(): void {
    this.querySelector<HTMLElement>('#feed-title')?.focus() // the chip goes; focus must not go with it
    this.dispatchEvent(new CustomEvent('filter', { detail: { source: '', lang: '', kind: '' }, bubbles: true }))
  }

  #pill(count: number): TemplateResult {
    return html`<button class="pill" type="button" aria-keyshortcuts="." @click=${() => this.toTop()}>
      ${icons.up}<b>${words.fresh(count)}</b> · ${words.show}
    </button>`
  }

  #scrolled(event: Event): void {
    const down = (event.currentTarget as HTMLElement).scrollTop > TOP_PX
    if (down !== this.#isHeldFor('scrolled')) this.session.holdFor('scrolled', down)
  }

  #focusIn(event: FocusEvent): void {
    const row = (event.target as HTMLElement).closest<HTMLElement>('article')
    const key = row?.dataset['key']
    this.#focused = row && key !== undefined ? { key, at: this.#articles().indexOf(row) } : undefined
    this.session.holdFor('focus', true)
  }

  #focusOut(event: FocusEvent): void {
    if (this.#scroller()?.contains(event.relatedTarget as Node | null)) return
    // A removed row loses focus without anything else gaining it; `updated` deals with that.
    if (event.relatedTarget) this.#focused = undefined
    this.session.holdFor('focus', false)
  }

  #selected(): void {
    const selection = document.getSelection()
    const inside = selection?.isCollapsed === false && this.#scroller()?.contains(selection.anchorNode) === true
    if (inside !== this.#isHeldFor('selection')) this.session.holdFor('selection', inside)
  }

  #isHeldFor(cause: 'scrolled' | 'selection'): boolean {
    return this.session.hold.has(cause)
  }

  #articles(): HTMLElement[] {
    return [...this.querySelectorAll<HTMLElement>('article')]
  }

  #scroller(): HTMLElement | null {
    return this.querySelector<HTMLElement>('#feed')
  }
}

customElements.define('live-feed', LiveFeed)
