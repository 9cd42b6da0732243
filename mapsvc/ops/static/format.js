// Numbers, durations and instants as text. Figures of one kind have one form, so that columns stand still.

const NBSP = "\u00a0";
const number = (digits) => new Intl.NumberFormat("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const BY_DIGITS = [0, 1, 2].map(number);
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY_AND_CLOCK = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

export const NOTHING = "–";

const or = (form) => (value) => (value === null || value === undefined || Number.isNaN(value) ? NOTHING : form(value));

export const whole = or((value) => BY_DIGITS[0].format(Math.round(value)));
export const rate = or((value) => BY_DIGITS[value > 0 && value < 9.95 ? 1 : 0].format(value));
export const percent = or((value) => `${BY_DIGITS[value > 0 && value < 9.95 ? 1 : 0].format(value)}${NBSP}%`);

/** Short ones to two or three digits, long ones as people say them. */
export const seconds = or((value) => {
  if (value < 1) return `${BY_DIGITS[value > 0 && value < 0.00995 ? 1 : 0].format(value * 1000)}${NBSP}ms`;
  if (value < 10) return `${BY_DIGITS[1].format(value)}${NBSP}s`;
  if (value < 120) return `${BY_DIGITS[0].format(value)}${NBSP}s`;
  if (value < 7200) return `${BY_DIGITS[0].format(value / 60)}${NBSP}min`;
  return value < 172800 ? `${BY_DIGITS[0].format(value / 3600)}${NBSP}h` : `${BY_DIGITS[0].format(value / 86400)}${NBSP}d`;
});

export const bytes = or((value) =>
  value < 1e9 ? `${BY_DIGITS[0].format(value / 1e6)}${NBSP}MB` : `${BY_DIGITS[2].format(value / 1e9)}${NBSP}GB`);

export const clock = (at_ms) => CLOCK.format(at_ms);

/** The time of day; of another day, with the day. */
export const instant = (at_ms, now_ms) => (Math.abs(now_ms - at_ms) < 43_200_000 ? CLOCK : DAY_AND_CLOCK).format(at_ms);
