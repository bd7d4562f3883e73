// AMQP topic patterns, so that one frame of events can be dealt out to several subscriptions.

/** Whether `topic` is one that `pattern` asks for: `*` stands for one word, `#` for zero or more. */
export function matches(pattern: string, topic: string): boolean {
  const asked = pattern.split('.')
  const words = topic.split('.')
  let a = 0
  let w = 0
  let hash = -1 // the last # passed, to which we fall back…
  let eaten = 0 // …letting it eat one word more than before
  while (w < words.length) {
    if (asked[a] === '#') {
      hash = a++
      eaten = w
    } else if (a < asked.length && (asked[a] === '*' || asked[a] === words[w])) {
      a++
      w++
    } else if (hash >= 0) {
      a = hash + 1
      w = ++eaten
    } else {
      return false
    }
  }
  while (asked[a] === '#') a++
  return a === asked.length
}
