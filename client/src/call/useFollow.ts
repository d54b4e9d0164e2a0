/** Keeps the transcript scrolled to its end, unless the reader has scrolled up. */
import { type RefObject, useCallback, useEffect, useRef, useState } from 'react';
import { isAtEnd, positionOf } from './follow';

export function useFollow(
  scroller: RefObject<HTMLElement | null>,
  content: RefObject<HTMLElement | null>,
) {
  const [follows, setFollows] = useState(true);
  const isFollowing = useRef(true);

  const toEnd = useCallback(() => {
    const element = scroller.current;
    if (element) element.scrollTop = element.scrollHeight;
  }, [scroller]);

  const jump = useCallback(() => {
    isFollowing.current = true;
    setFollows(true);
    toEnd();
  }, [toEnd]);

  useEffect(() => {
    const element = scroller.current;
    const inside = content.current;
    if (!element || !inside) return;
    let before = positionOf(element);
    const onScroll = () => {
      const now = positionOf(element);
      // A layout change may move the content although nobody scrolled.
      if (now.topPx === before.topPx) return;
      isFollowing.current = isAtEnd(now, before);
      before = now;
      setFollows(isFollowing.current);
    };
    // Runs before the paint, when words arrive or the window changes its size.
    const sizes = new ResizeObserver(() => {
      if (isFollowing.current) toEnd();
    });
    sizes.observe(element);
    sizes.observe(inside);
    element.addEventListener('scroll', onScroll, { passive: true });
    return () => {
      sizes.disconnect();
      element.removeEventListener('scroll', onScroll);
    };
  }, [scroller, content, toEnd]);

  return { follows, jump };
}
