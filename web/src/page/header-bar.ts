// The page's name and what state it is in.

import { html, nothing, type TemplateResult } from 'lit'
import { status } from '../model/status.ts'
import { View } from './view.ts'

export class HeaderBar extends View {
  static override properties = { ...View.properties, name: {} }

  declare name: string

  override render(): TemplateResult {
    const { tone, label, detail } = status(this.session.facts)
    return html`
      <a class="skip" href="#feed" @click=${skip}>Skip to the feed</a>
      <h1 class="brand"><span class="mark" aria-hidden="true"></span><bdi>${this.name}</bdi></h1>
      <p class="status" data-tone=${tone}>
        <span class="lamp" aria-hidden="true"></span>
        <b>${label}</b>${detail ? html` <span>${detail}</span>` : nothing}
      </p>
    `
  }
}

/** The address's hash holds the filter, so the link must not change it. */
function skip(event: Event): void {
  event.preventDefault()
  document.getElementById('feed')?.focus()
}

customElements.define('header-bar', HeaderBar)
