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

  // One after the other, so that scrolling stays smooth: first what is in sight, then all that is not folded away, so
  // that a printed page has it.
  const places = [...document.querySelectorAll(".still")], inSight = new Set();
  const later = new Set(places.filter((place) => !place.closest("details")));
  let isPainting = false;
  async function paint() {
    if (isPainting) return;
    isPainting = true;
    for (let [place] = [...inSight, ...later]; place; [place] = [...inSight, ...later]) {
      seen.unobserve(place);
      for (const waiting of [inSight, later]) waiting.delete(place);
      const { image, map } = place.dataset;
      try { await still(place, content.images[Number(image)], { map: Number(map) }); } catch (error) { place.textContent = error.message; }
      await new Promise((next) => setTimeout(next, 5));
    }
    isPainting = false;
    document.documentElement.dataset.ready = "true";
  }
  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) if (isIntersecting) inSight.add(target); else inSight.delete(target);
    paint();
  }, { rootMargin: "300px" });
  for (const place of places) {
    seen.observe(place);
    place.addEventListener("click", () => open(Number(place.dataset.image), Number(place.dataset.map)));
  }
  paint();

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

  const unfolded = new Set();
  addEventListener("beforeprint", () => {
    for (const folded of document.querySelectorAll("details:not(.more):not([open])")) { folded.open = true; unfolded.add(folded); }
  });
  addEventListener("afterprint", () => {
    for (const folded of unfolded) folded.open = false;
    unfolded.clear();
  });
}
