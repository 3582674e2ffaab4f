/** Text that is HTML already. */
export class Html {
  constructor(readonly text: string) {}
}

type Content = Html | string | number | readonly Content[] | null | undefined | false

/** A piece of HTML; what is put in is escaped, unless it is HTML itself. */
export function html(strings: TemplateStringsArray, ...contents: Content[]): Html {
  return new Html(String.raw({ raw: strings }, ...contents.map(render)))
}

function render(content: Content): string {
  if (content === null || content === undefined || content === false) return ''
  if (content instanceof Html) return content.text
  if (typeof content === 'object') return content.map(render).join('')
  return String(content).replace(/[&<>"]/g, character => ENTITIES[character]!)
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

/** A table whose first column is text and the others numbers, to the right. */
export function table(head: readonly Content[], rows: readonly (readonly Content[])[]): Html {
  return html`<div class="wide"><table>
<thead><tr>${head.map(cell => html`<th scope="col">${cell}</th>`)}</tr></thead>
<tbody>
${rows.map(
  ([first, ...rest]) =>
    html`<tr><th scope="row">${first}</th>${rest.map(cell => html`<td>${cell}</td>`)}</tr>\n`,
)}</tbody></table></div>`
}
