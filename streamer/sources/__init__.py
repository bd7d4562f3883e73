# -*- test-case-name: tests.unit.test_registry -*-
"""UPSTREAMS, one file each, named as the source type.

Such a module holds one source type (a plugin) and the source it builds: it describes requests and decodes frames, and
does no I/O. What several share stands beside them:

* `x_stream`    how X's streams are asked for; `x_lines` their lines, `x_answers` refusals and farewells
* `x_payload`   what X's items say, with `x_objects` and `x_text`
* `x_rules`     what X's filter rules may be; `x_reconcile` makes the server's those wanted
* `x_unfiltered`  the source behind X's streams that take no rules
* `twitter_…`   credentials, predicates, messages and items of the v1.1 streams
* `jetstream_…` `mastodon_…` `wikimedia_…` `github_…` `feed_…` `webhook_…`  parts of the source of that name: what it
  asks for (`asking`, `polling`, `predicates`), what it is answered (`answers`), what its items say (`payload`,
  `objects`, `types`)
* `lenient`     JSON that is not as declared
* `answers`     what plain HTTP refusals mean; `fixed` the half of a source that has no predicates
* `markup`      HTML into text and facets
"""

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
