// What the reader can do: hold the page still, slow it down, choose what to see.

import { html, nothing, type TemplateResult } from 'lit'
import { live } from 'lit/directives/live.js'
import { KINDS, type Filter, type KindName } from '../model/filter.ts'
import { FLOWS, type FlowName } from '../model/flow.ts'
import { words } from '../model/words.ts'
import { icons } from './icons.ts'
import type { Theme } from './prefs.ts'
import { View } from './view.ts'

export class ToolBar extends View {
  static override properties = { ...View.properties, theme: {}, open: { state: true } }

  declare theme: Theme
  /** On a phone the menus are folded away until asked for. */
  declare open: boolean

  constructor() {
    super()
    this.open = false
  }

  override render(): TemplateResult {
    const { hold, feed, sources, langs } = this.session
    const { filter } = feed
    return html`
      <button class="pause" type="button" aria-keyshortcuts="p" @click=${() => this.#tell('pause')}>
        ${hold.paused ? icons.play : icons.pause}<span>${hold.paused ? words.resume : words.pause}</span>
      </button>
      <button class="quiet unfold" type="button" title=${words.controls} aria-label=${words.controls} aria-controls="choices"
        aria-expanded=${this.open} @click=${() => (this.open = !this.open)}>${icons.controls}</button>
      <div id="choices" data-open=${this.open ? 'yes' : 'no'}>
        <label>
          <span>${words.flow}</span>
          <select name="flow" @change=${this.#flow}>
            ${FLOWS.map((name) => option(name, words.flows[name], feed.flow.name))}
          </select>
        </label>
        ${sources.changing || filter.kind ? this.#kind(filter.kind) : nothing}
        ${this.#choice(words.source, 'source', sources.names, filter.source, (name) => name)}
        ${this.#choice(words.language, 'lang', [...langs], filter.lang, words.languageName)}
      </div>
      <label class="grow">
        <span>${words.filter}</span>
        <input
          type="search" name="text" autocomplete="off" spellcheck="false" enterkeyhint="search"
          placeholder=${words.filterHint} .value=${live(filter.text)} @input=${this.#filter}
        />
      </label>
      <span class="tools">
        <button class="quiet" type="button" title=${words.theme[this.theme]} aria-label=${words.theme[this.theme]}
          @click=${() => this.#tell('theme')}>${icons.theme}</button>
        <button class="quiet" type="button" title=${words.keyboard} aria-label=${words.keyboard}
          aria-haspopup="dialog" @click=${() => this.#tell('keyboard')}>${icons.keyboard}</button>
      </span>
    `
  }

  /** Only where there is something to choose: many a house has posts and nothing else. */
  #kind(chosen: KindName): TemplateResult {
    return html`
      <label>
        <span>${words.kind}</span>
        <select name="kind" @change=${this.#filter}>
          ${(['', ...KINDS] as const).map((kind) => option(kind, words.kinds[kind], chosen))}
        </select>
      </label>
    `
  }

  #choice(
    label: string, name: keyof Filter, known: readonly string[], chosen: string, called: (value: string) => string,
  ): TemplateResult {
    const values = [...new Set([...known, ...(chosen ? [chosen] : [])])].sort()
    return html`
      <label>
        <span>${label}</span>
        <select name=${name} @change=${this.#filter}>
          ${option('', words.any, chosen)}
          ${values.map((value) => option(value, called(value), chosen))}
        </select>
      </label>
    `
  }

  #flow(event: Event): void {
    const detail = (event.target as HTMLSelectElement).value as FlowName
    this.dispatchEvent(new CustomEvent('flow', { detail, bubbles: true }))
  }

  #filter(event: Event): void {
    const { name, value } = event.target as HTMLInputElement | HTMLSelectElement
    this.dispatchEvent(new CustomEvent('filter', { detail: { [name]: value }, bubbles: true }))
  }

  #tell(what: 'pause' | 'theme' | 'keyboard'): void {
    this.dispatchEvent(new Event(what, { bubbles: true }))
  }
}

/** Compared with what the menu really shows: the reader's own choice changes that, and so does the address. */
function option(value: string, called: string, chosen: string): TemplateResult {
  return html`<option value=${value} .selected=${live(value === chosen)}>${called}</option>`
}

customElements.define('tool-bar', ToolBar)
