// Where something needs the reader: no connection, or a connection that will not come back.

import { html, nothing, type TemplateResult } from 'lit'
import { notice } from '../model/status.ts'
import { words } from '../model/words.ts'
import { View } from './view.ts'

export class NoticeBar extends View {
  override render(): TemplateResult | typeof nothing {
    const said = notice(this.session.facts)
    if (!said) return nothing
    return html`
      <p>${said.text}
        ${said.action === 'retry' ? html`<button type="button" @click=${() => this.session.retry()}>${words.retryNow}</button>` : nothing}
        ${said.action === 'reload' ? html`<button type="button" @click=${() => location.reload()}>${words.reload}</button>` : nothing}
      </p>
    `
  }
}

customElements.define('notice-bar', NoticeBar)
