// Language, units and theme are a person's, not a link's: they are remembered on this machine, and nothing else is.

const KEY = "mapsvc.preferences";
const NAMES = ["lang", "units", "theme"];
const LANGUAGES = ["en", "de", "fr"];
const IMPERIAL = ["US", "GB", "LR", "MM"];

/** What was chosen here before; else what the browser says. */
export function preferences() {
  const [language = "en", region = ""] = (navigator.language ?? "en").split("-");
  const guessed = {
    lang: LANGUAGES.includes(language) ? language : "en",
    units: IMPERIAL.includes(region.toUpperCase()) ? "imperial" : "metric",
    theme: "auto",
  };
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return { ...guessed, ...Object.fromEntries(NAMES.filter((name) => typeof kept[name] === "string").map((name) => [name, kept[name]])) };
  } catch {
    return guessed; // storage may be forbidden
  }
}

export function remember(state) {
  state.on((now, before) => {
    if (NAMES.every((name) => now[name] === before[name])) return;
    try {
      localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(NAMES.map((name) => [name, now[name]]))));
    } catch {
      // then it is not remembered
    }
  });
}
