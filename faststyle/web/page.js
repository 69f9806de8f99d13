// What Gradio's own page lacks.

// Gradio gives each radio button a group of its own: this brings the arrow keys back.
document.addEventListener("keydown", (event) => {
  const way = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!way || !event.target.matches("fieldset input[type=radio]")) return;
  const all = [...event.target.closest("fieldset").querySelectorAll("input[type=radio]")];
  const next = all[(all.indexOf(event.target) + way + all.length) % all.length];
  event.preventDefault();
  next.focus();
  next.click();
});
// And for screen readers the groups of radio buttons, and the fields for pictures, get their names.
new MutationObserver(() => {
  for (const group of document.querySelectorAll("fieldset:not([aria-label]), :is(.picture, .clip):not([aria-label])")) {
    group.setAttribute("role", group.matches("fieldset") ? "radiogroup" : "group");
    const label = group.querySelector("[data-testid=block-info], [data-testid=block-label]");
    group.setAttribute("aria-label", label?.innerText.trim() ?? "");
  }
}).observe(document, { childList: true, subtree: true });

// A picture may be pasted, and dropped anywhere, and so may a clip: it goes to the field under the
// pointer, or the first that is empty.
const give = (event, files) => {
  const fields = [...document.querySelectorAll(".picture, .clip")].filter((field) => field.offsetParent);
  const kind = fields[0]?.matches(".clip") ? /^video\/|^image\/gif$/ : /^image\//;
  const picture = [...(files ?? [])].find((file) => kind.test(file.type));
  const field = fields.find((field) => field.contains(event.target) || field.matches(":hover"))
    ?? fields.find((field) => !field.querySelector(".image-frame img")) ?? fields[0];
  const input = field?.querySelector("input[type=file]");
  if (!picture || !input || event.defaultPrevented) return;
  event.preventDefault();
  const transfer = new DataTransfer();
  transfer.items.add(picture);
  input.files = transfer.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
};
document.addEventListener("paste", (event) => give(event, event.clipboardData?.files));
document.addEventListener("drop", (event) => {
  give(event, event.dataTransfer?.files);
  if (event.dataTransfer?.files.length) event.preventDefault(); // else a browser leaves for the file
});
document.addEventListener("dragover", (event) => event.preventDefault());
