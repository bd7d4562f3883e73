// The list of shortcuts, and the switch for those who type by voice or by chance.

import { LitElement, html, type TemplateResult } from 'lit'
import { words } from '../model/words.ts'
import { KEYS } from './keys.ts'
import type { Prefs } from './prefs.ts'

export class HelpDialog extends LitElement {
  static override properties = { prefs: { attribute: false } }

  declare prefs: Prefs

  override createRenderRoot(): HTMLElement {
    return this
  }

  show(): void {
    this.querySelector('dialog')?.showModal()
  }

  override render(): TemplateResult {
    return html`
      <dialog aria-labelledby="help-title" closedby="any">
        <h2 id="help-title">${words.keyboard}</h2>
        <label class="switch"><input type="checkbox" .checked=${this.prefs.keyboard} @change=${this.#switch} /> Single-letter shortcuts</label>
        ${meanings(KEYS)}
        <h2>${words.filter}</h2>
        ${meanings(words.filterWords)}
        <button type="button" @click=${() => this.querySelector('dialog')?.close()}>Close</button>
      </dialog>
    `
  }

  #switch(event: Event): void {
    this.prefs.keyboard = (event.target as HTMLInputElement).checked
  }
}

function meanings(of: readonly (readonly [typed: string, does: string])[]): TemplateResult {
  return html`
    <dl>${of.map(([typed, does]) => html`
      <div><dt>${typed.split('  ').map((key) => html`<kbd>${key}</kbd> `)}</dt><dd>${does}</dd></div>`)}
    </dl>`
}

customElements.define('help-dialog', HelpDialog)
