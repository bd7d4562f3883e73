// The account: every post and change the relay sent is somewhere in this line.

import { html, type TemplateResult } from 'lit'
import { words } from '../model/words.ts'
import { View } from './view.ts'

export class FootBar extends View {
  override render(): TemplateResult {
    const { feed, pulse } = this.session
    const { sent, shown, notShown, held, lost } = feed.ledger
    return html`
      <p class="account">
        <span data-count="sent"><b>${words.count(sent)}</b> sent</span> =
        <span data-count="shown"><b>${words.count(shown)}</b> shown</span> +
        <span data-count="not-shown"><b>${words.count(notShown)}</b> not shown</span> +
        <span data-count="held"><b>${words.count(held)}</b> held</span> +
        <span data-count="lost" class=${lost ? 'bad' : ''}><b>${words.count(lost)}</b> lost</span>
      </p>
      <p class="aside"><span class="kept">${words.rowsKept(feed.rows.length)}</span><b class="rate">${words.perSecond(pulse.rate(Date.now()))}</b></p>
    `
  }
}

customElements.define('foot-bar', FootBar)
