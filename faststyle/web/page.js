// Additions to Gradio's page.

// Choose among radio buttons with the arrow keys. Gradio gives each button a group of its own, so that the
// browser does not do it.
document.addEventListener("keydown", (event) => {
  const direction = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!direction || !event.target.matches("fieldset input[type=radio]")) return;
  const all = [...event.target.closest("fieldset").querySelectorAll("input[type=radio]")];
  const next = all[(all.indexOf(event.target) + direction + all.length) % all.length];
  event.preventDefault();
  next.focus();
  next.click();
});
// Name the groups of radio buttons and the upload fields, for screen readers.
new MutationObserver(() => {
  for (const group of document.querySelectorAll("fieldset:not([aria-label]), :is(.picture, .clip):not([aria-label])")) {
    group.setAttribute("role", group.matches("fieldset") ? "radiogroup" : "group");
    const label = group.querySelector("[data-testid=block-info], [data-testid=block-label]");
    group.setAttribute("aria-label", label?.innerText.trim() ?? "");
  }
}).observe(document, { childList: true, subtree: true });

// Upload an image or a video that is pasted, or dropped anywhere on the page. It goes to the field under the
// pointer, or to the first empty field that the tab needs.
const uploadFile = (event, files) => {
  const fields = [...document.querySelectorAll(".picture, .clip")].filter((field) => field.offsetParent);
  const many = fields[0]?.matches(".many");
  const types = fields[0]?.matches(".clip:not(.many)") ? /^video\/|^image\/gif$/ : /^image\//;
  const chosen = [...(files ?? [])].filter((file) => types.test(file.type)).slice(0, many ? undefined : 1);
  const field = fields.find((field) => field.contains(event.target) || field.matches(":hover"))
    ?? fields.find((field) => !field.matches(".optional") && !field.querySelector(".image-frame img")) ?? fields[0];
  const input = field?.querySelector("input[type=file]");
  if (!chosen.length || !input || event.defaultPrevented) return;
  event.preventDefault();
  const transfer = new DataTransfer();
  for (const file of chosen) transfer.items.add(file);
  input.files = transfer.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
};
document.addEventListener("paste", (event) => uploadFile(event, event.clipboardData?.files));
document.addEventListener("drop", (event) => {
  uploadFile(event, event.dataTransfer?.files);
  // Otherwise the browser leaves the page and opens the file.
  if (event.dataTransfer?.files.length) event.preventDefault();
});
document.addEventListener("dragover", (event) => event.preventDefault());
