// Trees of plain objects, and how the document is brought in line with one. Text is always text: nothing is parsed.

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["value", "checked", "disabled", "open"]);

// One element. props: attributes; style: an object; on...: a handler; key: what it is known by among its siblings.
export function h(tag, props, ...children) {
  return { tag, props: props || {}, children };
}

// The nodes that are there, in one list: null and false stand for nothing.
function flat(nodes) {
  const kept = nodes.flat(Infinity).filter((node) => node !== null && node !== undefined && node !== false);
  return kept.map((node) => (typeof node === "object" ? node : String(node)));
}

// Make parent's children equal to nodes, and keep the elements that stay, so that focus and scrolling stay too.
export function patch(parent, nodes) {
  const keyed = new Map();
  for (const child of parent.childNodes) if (child.edgerayKey !== undefined) keyed.set(child.edgerayKey, child);
  let next = parent.firstChild;
  for (const node of flat(nodes)) {
    const key = node.props?.key;
    let child = key === undefined ? next : keyed.get(key);
    if (!child || !fits(child, node)) child = parent.insertBefore(create(node, parent), next);
    else if (child === next) next = next.nextSibling;
    else parent.insertBefore(child, next);
    update(child, node);
  }
  while (next) {
    const after = next.nextSibling;
    next.remove();
    next = after;
  }
}

function fits(child, node) {
  if (typeof node === "string") return child.nodeType === Node.TEXT_NODE;
  return child.edgerayTag === node.tag && child.edgerayKey === node.props.key;
}

function create(node, parent) {
  if (typeof node === "string") return document.createTextNode(node);
  const inSvg = node.tag === "svg" || (parent.namespaceURI === SVG && parent.tagName !== "foreignObject");
  const element = inSvg ? document.createElementNS(SVG, node.tag) : document.createElement(node.tag);
  element.edgerayTag = node.tag;
  element.edgerayKey = node.props.key;
  element.edgerayProps = {};
  return element;
}

function update(child, node) {
  if (typeof node === "string") {
    if (child.nodeValue !== node) child.nodeValue = node;
    return;
  }
  const old = child.edgerayProps;
  patch(child, node.children); // before the properties: a select's value needs its options
  for (const name of Object.keys(old)) if (!(name in node.props)) set(child, name, null);
  for (const [name, value] of Object.entries(node.props)) {
    if (value !== old[name] || PROPERTIES.has(name)) set(child, name, value);
  }
  child.edgerayProps = node.props;
}

function set(element, name, value) {
  if (name === "key") return;
  if (name.startsWith("on")) element[name] = value;
  else if (name === "style") setStyle(element, value || {});
  else if (PROPERTIES.has(name)) {
    if (element[name] !== (value ?? "")) element[name] = value ?? "";
  } else if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : value);
}

function setStyle(element, wanted) {
  for (const name of Array.from(element.style)) if (!(name in wanted)) element.style.removeProperty(name);
  for (const [name, value] of Object.entries(wanted)) element.style.setProperty(name, value);
}
