// Shows what makes the page scroll sideways, or is cut off: all that is wider than the
// window and not inside something that scrolls by itself, as the table does.
() => {
  const inside = (element) =>
    element.getBoundingClientRect().right <= window.innerWidth;
  const scrolls = (element) => {
    if (element.tagName === "ARTICLE") return false;
    const { overflowX } = getComputedStyle(element);
    if (overflowX === "auto" && inside(element)) return true;
    return scrolls(element.parentElement);
  };
  const all = [...document.querySelectorAll("article *")];
  const wide = all.filter((element) => !inside(element));
  const cut = wide.filter((element) => !scrolls(element));
  return cut.map((element) => element.outerHTML.slice(0, 80));
}
