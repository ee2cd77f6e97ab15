// Boxes that scroll sideways can be reached with the keyboard: code, tables, formulas and figures
const boxes = 'pre, .table-wrapper, .cell_output > .output, math[display="block"], dt.sig'

const update = box => {
  const scrolls = box.scrollWidth > box.clientWidth
  if (scrolls) box.tabIndex = 0
  else box.removeAttribute('tabindex')
}

addEventListener('DOMContentLoaded', () => {
  const observer = new ResizeObserver(entries => entries.forEach(entry => update(entry.target)))
  document.querySelectorAll(boxes).forEach(box => observer.observe(box))
})
