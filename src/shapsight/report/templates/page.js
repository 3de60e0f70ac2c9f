// What a page does: stills are painted when they come into sight, a click opens the viewer, links name an image.
{
  const read = document.getElementById("content");
  const content = JSON.parse(read.textContent);
  read.remove(); // the browser would keep the text beside what was read
  const closer = document.getElementById("closer");
  let viewer = null;

  function open(number, map = 0) {
    if (!closer.open) closer.showModal();
    viewer ??= mount(document.getElementById("viewer"), content);
    viewer.show(number, map);
  }

  const places = [...document.querySelectorAll(".still")], painted = new Set();
  function paint(place) {
    if (painted.has(place)) return null;
    painted.add(place);
    const { image, map } = place.dataset;
    return still(place, content.images[Number(image)], { map: Number(map) });
  }
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { seen.unobserve(entry.target); paint(entry.target); }
  }, { rootMargin: "300px" });
  for (const place of places) {
    seen.observe(place);
    place.addEventListener("click", () => open(Number(place.dataset.image), Number(place.dataset.map)));
  }
  // Those that are not folded away are painted in the end, one after the other, so that a printed page has them.
  (async () => {
    for (const place of places.filter((each) => !each.closest("details"))) {
      await new Promise((next) => setTimeout(next, 5));
      await paint(place);
    }
    document.documentElement.dataset.ready = "true";
  })();

  function follow() {
    const named = location.hash.startsWith("#image=") ? location.hash.slice(7) : "";
    // What is quoted is compared, since whatever somebody typed there may be no quoted text.
    const number = content.images.findIndex((image) => named === encodeURIComponent(image.key));
    if (number >= 0) open(number);
  }
  addEventListener("hashchange", follow);
  follow();
  closer.addEventListener("close", () => {
    if (location.hash.startsWith("#image=")) history.replaceState(null, "", location.pathname + location.search);
  });
  closer.addEventListener("click", (event) => { if (event.target === closer) closer.close(); });

  for (const button of document.querySelectorAll("[data-copies]"))
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copies);
      getSelection().selectAllChildren(source);
      try { await navigator.clipboard.writeText(source.textContent); } catch { document.execCommand("copy"); }
      button.textContent = "Copied";
    });

  addEventListener("beforeprint", async () => {
    for (const folded of document.querySelectorAll("details:not(.more)")) folded.open = true;
  });
}
