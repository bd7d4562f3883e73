// The few pictures the page needs, as shapes in the text's own colour.

import { svg, type TemplateResult } from 'lit'

const icon = (shape: TemplateResult): TemplateResult =>
  svg`<svg class="icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" focusable="false">${shape}</svg>`

export const icons = {
  pause: icon(svg`<path d="M5 3.5h3.5v13H5zm6.5 0H15v13h-3.5z"/>`),
  play: icon(svg`<path d="M6 3.5v13l10-6.5z"/>`),
  pin: icon(svg`<path d="M10 1.8a5.7 5.7 0 0 0-5.7 5.7c0 4 5.7 10.7 5.7 10.7s5.7-6.7 5.7-10.7A5.7 5.7 0 0 0 10 1.8m0 7.9a2.2 2.2 0 1 1 0-4.4 2.2 2.2 0 0 1 0 4.4"/>`),
  reply: icon(svg`<path d="M8.2 4.2 2.6 9.3l5.6 5.1v-3.2c4.3 0 7 1.3 9.2 4.4-.7-4.8-3.7-8-9.2-8.2z"/>`),
  media: icon(svg`<path d="M3 4h14v12H3zm1.6 1.6v6.2l3.2-3.2 3 3 2.2-2.2 2.4 2.4V5.6z"/>`),
  change: icon(svg`<path d="M3 13.9V17h3.1l8.6-8.6-3.1-3.1zM16.6 6.5a1 1 0 0 0 0-1.4l-1.7-1.7a1 1 0 0 0-1.4 0l-1 1 3.1 3.1z"/>`),
  gap: icon(svg`<path d="M10 2 1.5 17h17zm-.9 5.4h1.8v5H9.1zm0 6.2h1.8v1.8H9.1z"/>`),
  theme: icon(svg`<path d="M10 2a8 8 0 1 0 0 16 8 8 0 0 0 0-16m0 1.7v12.6a6.3 6.3 0 0 1 0-12.6"/>`),
  keyboard: icon(svg`<path d="M2 5h16v10H2zm2 2v1.6h1.6V7zm3 0v1.6h1.6V7zm3 0v1.6h1.6V7zm3 0v1.6h3V7zM4 10v1.6h3V10zm4.4 0v1.6H16V10zM6 12.6V14h8v-1.4z"/>`),
  controls: icon(svg`<path d="M2 5h9.2a2.4 2.4 0 0 1 4.6 0H18v1.8h-2.2a2.4 2.4 0 0 1-4.6 0H2zm0 8.2h2.2a2.4 2.4 0 0 1 4.6 0H18V15H8.8a2.4 2.4 0 0 1-4.6 0H2z"/>`),
  up: icon(svg`<path d="m10 5 6 7h-4v4H8v-4H4z"/>`),
} as const
