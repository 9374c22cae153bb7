// Light or dark, as the operating system.
const dark = matchMedia("(prefers-color-scheme: dark)");
const apply = () => document.getElementById("api").setAttribute("theme", dark.matches ? "dark" : "light");
dark.addEventListener("change", apply);
apply();
