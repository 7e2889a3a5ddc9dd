// @ts-check
/** The views of somebody who is signed in: not part of the first load, fetched together at the first need. */
import * as account from "./account.js";
import * as activity from "./activity.js";
import * as devices from "./devices.js";
import * as home from "./home.js";
import * as security from "./security.js";

/** @type {Record<string, import("./shell.js").View>} */
export const INSIDE = { "": home, devices, activity, security, account };
