// Where the page begins.

import '../styles/tokens.css'
import '../styles/layout.css'
import '../styles/feed.css'
import '../styles/world.css'
import { connect } from '../client/index.ts'
import { loadConfig } from './config.ts'
import { Session } from './session.ts'
import { StreamApp } from './stream-app.ts'

const config = await loadConfig()
const session = new Session(connect(new URL(config.ws, document.baseURI)))
session.pulse.clock(config.date, Date.now())

const app = new StreamApp()
app.session = session
app.name = config.title
document.body.replaceChildren(app)
session.start()
