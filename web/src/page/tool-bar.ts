// What the reader can do: hold the page still, slow it down, choose what to see.

import { html, type TemplateResult } from 'lit'
import type { Filter } from '../model/filter.ts'
import { FLOWS, type FlowName } from '../model/flow.ts'
import { words } from '../model/words.ts'
import { icons } from './icons.ts'
import type { Theme } from './prefs.ts'
import { View } from './view.ts'

export class ToolBar extends View {
  static override properties = { ...View.properties, theme: {} }

  declare theme: Theme

  override render(): TemplateResult {
    const { hold, feed, sources, langs } = this.session
    const { filter } = feed
    return html`
      <button class="pause" type="button" aria-keyshortcuts="p" @click=${() => this.#tell('pause')}>
        ${hold.paused ? icons.play : icons.pause}<span>${hold.paused ? words.resume : words.pause}</span>
      </button>
      <label>
        <span>${words.flow}</span>
        <select name="flow" @change=${this.#flow}>
          ${FLOWS.map((name) => html`<option value=${name} ?selected=${feed.flow.name === name}>${words.flows[name]}</option>`)}
        </select>
      </label>
      ${this.#choice(words.source, 'source', sources, filter.source, (name) => name)}
      ${this.#choice(words.language, 'lang', langs, filter.lang, words.languageName)}
      <label class="grow">
        <span>${words.filter}</span>
        <input
          type="search" name="text" autocomplete="off" spellcheck="false" enterkeyhint="search"
          placeholder=${words.filterHint} .value=${filter.text} @input=${this.#filter}
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

  #choice(
    label: string, name: keyof Filter, known: ReadonlySet<string>, chosen: string, called: (value: string) => string,
  ): TemplateResult {
    const values = [...new Set([...known, ...(chosen ? [chosen] : [])])].sort()
    return html`
      <label>
        <span>${label}</span>
        <select name=${name} @change=${this.#filter}>
          <option value="" ?selected=${!chosen}>${words.any}</option>
          ${values.map((value) => html`<option value=${value} ?selected=${value === chosen}>${called(value)}</option>`)}
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

customElements.define('tool-bar', ToolBar)
