// Pasted images go where files are dropped, wherever the focus is; pickers of phones offer the camera.
(() => {
  const field = () => document.querySelector("#photos input[type=file]");
  document.addEventListener("paste", (event) => {
    const input = field();
    if (!input || !event.clipboardData.files.length) return;
    event.preventDefault();
    input.files = event.clipboardData.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("#photos") && field()) field().accept = "image/*";
  }, true);
})();
