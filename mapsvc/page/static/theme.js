// Light or dark: as chosen, else as the machine has it. CSS reads it from the root element, the map is told.

export function followTheme(state) {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const listeners = new Set();
  const now = () => {
    const { theme } = state.get();
    return theme === "auto" ? (dark.matches ? "dark" : "light") : theme;
  };
  function apply() {
    document.documentElement.dataset.theme = now();
    for (const listener of listeners) listener(now());
  }
  dark.addEventListener("change", apply);
  state.on(({ theme }, before) => theme !== before.theme && apply());
  apply();
  return { now, on: (listener) => listeners.add(listener) };
}
