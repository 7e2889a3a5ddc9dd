// @ts-check
/**
 * The shapes of the HTTP contract. Types only: the browser never loads this file.
 *
 * @typedef {object} Account
 * @property {string} id
 * @property {string} email
 * @property {boolean} email_verified
 * @property {string | null} name
 * @property {string[]} roles
 * @property {string} created_at
 *
 * @typedef {object} ServerSession
 * @property {string} id
 * @property {"native" | "spa" | "web"} door
 * @property {string} created_at
 * @property {string} last_seen_at
 * @property {string} expires_at
 * @property {string | null} ip
 * @property {string | null} user_agent
 * @property {string[]} auth_methods
 * @property {boolean} current
 * @property {boolean} key_bound
 * @property {string | null} ended_at
 * @property {string | null} end_reason
 * @property {string | null} [ended_by]  name of the device that ended it
 *
 * @typedef {object} Device
 * @property {string} id
 * @property {string} name
 * @property {string | null} platform
 * @property {string} created_at
 * @property {string} last_seen_at
 * @property {boolean} current
 * @property {ServerSession[]} sessions
 *
 * @typedef {object} Activity
 * @property {string} id
 * @property {string} at
 * @property {string} kind
 * @property {string | null} ip
 * @property {string | null} device
 * @property {Record<string, unknown>} [data]
 *
 * @typedef {object} GrantAnswer  what a login and a refresh hand out at the spa door
 * @property {string} access_token
 * @property {number} expires_in  seconds
 * @property {Account} [account]
 *
 * @typedef {object} Factor
 * @property {string} id
 * @property {"totp" | "passkey"} method
 * @property {string} name
 * @property {string} created_at
 * @property {string | null} last_used_at
 * @property {boolean | null} synced
 *
 * @typedef {object} Factors
 * @property {Factor[]} factors
 * @property {number} recovery_codes_left
 * @property {string | null} recovery_codes_made_at
 *
 * @typedef {object} Added  a new factor; recovery codes come with the first one
 * @property {Factor} factor
 * @property {string[]} recovery_codes
 *
 * @typedef {object} Seed
 * @property {string} challenge_token
 * @property {string} secret
 * @property {string} uri
 * @property {string} qr_svg
 *
 * @typedef {object} EndedEvent  `session.ended` and `signed_out` on the event stream
 * @property {string} session_id
 * @property {string} [reason]
 * @property {string | null} [ended_by]
 *
 * @typedef {object} FieldError
 * @property {string} field
 * @property {string} code
 * @property {string} message
 *
 * @typedef {object} Why  why this browser is signed out; empty when there was nothing to end
 * @property {string} [code]      the contract's error code, if one said it
 * @property {string} [reason]    the session's end reason, if known
 * @property {string | null} [ended_by]
 */
export {};
