// The whole page: puts the parts in their places and carries what one part asks to the others.

import { html, type TemplateResult } from 'lit'
import { fromHash, toHash, type Filter } from '../model/filter.ts'
import type { FlowName } from '../model/flow.ts'
import { words } from '../model/words.ts'
import './foot-bar.ts'
import './header-bar.ts'
import './help-dialog.ts'
import type { HelpDialog } from './help-dialog.ts'
import { press, type Actions } from './keys.ts'
import './live-feed.ts'
import type { LiveFeed } from './live-feed.ts'
import './notice-bar.ts'
import './place-list.ts'
import { Prefs, type Theme } from './prefs.ts'
import './source-list.ts'
import './tool-bar.ts'
import { View } from './view.ts'
import './world-map.ts'

type Tab = 'feed' | 'world'

export class StreamApp extends View {
  static override properties = { ...View.properties, name: {}, theme: { state: true }, tab: { state: true } }

  declare name: string
  declare theme: Theme
  declare tab: Tab
  readonly #prefs = new Prefs()
  #said = ''

  constructor() {
    super()
    this.tab = 'feed'
    this.theme = this.#prefs.theme
  }

  override connectedCallback(): void {
    super.connectedCallback()
    addEventListener('hashchange', this.#readHash)
    document.addEventListener('keydown', this.#key)
    document.addEventListener('visibilitychange', this.#visible)
    this.addEventListener('pause', this.#pause)
    this.addEventListener('theme', () => (this.theme = this.#prefs.nextTheme()))
    this.addEventListener('keyboard', () => this.#help())
    this.addEventListener('flow', (event) => this.#pace((event as CustomEvent<FlowName>).detail))
    this.addEventListener('filter', (event) => this.#narrow((event as CustomEvent<Partial<Filter>>).detail))
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback()
    removeEventListener('hashchange', this.#readHash)
    document.removeEventListener('keydown', this.#key)
    document.removeEventListener('visibilitychange', this.#visible)
  }

  protected override firstUpdated(): void {
    this.#readHash()
    this.#pace(this.#prefs.flow)
    if (this.#prefs.paused) this.session.holdFor('paused', true)
    this.#visible()
  }

  /** The parts look after themselves; here only the announcer and the tab's title change. */
  protected override beat(): void {
    const { announcer, hold, feed } = this.session
    const fresh = hold.cause === 'hidden' || hold.paused ? feed.fresh : 0
    const title = fresh > 0 ? `(${words.count(fresh)}) ${this.name}` : this.name
    if (document.title !== title) document.title = title
    if (announcer.text === this.#said) return
    this.#said = announcer.text
    this.requestUpdate()
  }

  override render(): TemplateResult {
    document.documentElement.dataset['theme'] = this.theme
    const { session } = this
    return html`
      <header><header-bar .session=${session} name=${this.name}></header-bar></header>
      <main data-tab=${this.tab}>
        <section class="controls" aria-label="Controls"><tool-bar .session=${session} theme=${this.theme}></tool-bar></section>
        <notice-bar .session=${session}></notice-bar>
        <section class="pane feed-pane" aria-label=${words.feed}><live-feed .session=${session}></live-feed></section>
        <section class="pane world-pane" aria-label=${words.world}>
          <world-map .session=${session}></world-map>
          <place-list .session=${session}></place-list>
          <source-list .session=${session}></source-list>
        </section>
      </main>
      <nav class="tabs" aria-label="Views">${this.#tabButton('feed', words.feed)}${this.#tabButton('world', words.world)}</nav>
      <footer><foot-bar .session=${session}></foot-bar></footer>
      <p class="sr" role="status" aria-live="polite">${this.#said}</p>
      <help-dialog .prefs=${this.#prefs}></help-dialog>
    `
  }

  #tabButton(tab: Tab, label: string): TemplateResult {
    return html`<button type="button" aria-pressed=${this.tab === tab} @click=${() => (this.tab = tab)}>${label}</button>`
  }

  readonly #pause = (): void => {
    const on = !this.session.hold.paused
    this.#prefs.paused = on
    this.session.holdFor('paused', on)
  }

  readonly #visible = (): void => this.session.holdFor('hidden', document.visibilityState === 'hidden')

  readonly #readHash = (): void => {
    this.session.feed.filter = fromHash(location.hash)
    this.session.dispatchEvent(new Event('beat'))
  }

  readonly #key = (event: KeyboardEvent): void => {
    if (!event.defaultPrevented && press(event, this.#prefs.keyboard, this.#actions)) event.preventDefault()
  }

  readonly #actions: Actions = {
    pause: this.#pause,
    show: () => this.#feed?.toTop(),
    step: (by) => this.#feed?.step(by),
    filter: () => this.querySelector<HTMLInputElement>('input[name=text]')?.focus(),
    help: () => this.#help(),
    leave: (to) => {
      if (to === 'before') this.querySelector<HTMLElement>('.pause')?.focus()
      else if (to === 'after') this.querySelector<HTMLElement>('#places-title')?.focus()
      else (document.activeElement as HTMLElement | null)?.blur()
    },
  }

  /** A changed filter goes through the address, so that it can be shared; no entry in the history per letter. */
  #narrow(change: Partial<Filter>): void {
    history.replaceState(null, '', toHash({ ...this.session.feed.filter, ...change }))
    this.#readHash()
  }

  #pace(flow: FlowName): void {
    this.#prefs.flow = flow
    this.session.feed.flow.name = flow
  }

  #help(): void {
    this.querySelector<HelpDialog>('help-dialog')?.show()
  }

  get #feed(): LiveFeed | null {
    return this.querySelector<LiveFeed>('live-feed')
  }
}

customElements.define('stream-app', StreamApp)
