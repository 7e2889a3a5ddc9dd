// @ts-check
/** Wires the parts together and starts. Everything else is given what it needs. */
import { Api } from "./api.js";
import { Events } from "./events.js";
import { onRoute } from "./router.js";
import { Session } from "./session.js";
import { makeAsk } from "./views/ask.js";
import { Shell } from "./views/shell.js";
import { tellTimesOnTouch, toast } from "./views/toast.js";
import { watchNews } from "./views/news.js";
import { watchReach } from "./views/trouble.js";

const session = new Session();
const api = new Api(session);
const events = new Events(session);
const shell = new Shell({ session, api, events, toast, ask: makeAsk(document.body, api) });

watchReach(session, api);
watchNews(session, events);
tellTimesOnTouch();
session.addEventListener("change", () => void shell.show());
session.addEventListener("reach", () => shell.retry());
onRoute(() => void shell.show());
void session.start().catch(() => {}); // what went wrong is in session.state and session.trouble
